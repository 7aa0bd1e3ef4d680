"""Numbers: emotion recognition and speech quality."""
