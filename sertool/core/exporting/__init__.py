"""Models taken elsewhere: ONNX files, Hugging Face folders, and the check that they say the same."""
