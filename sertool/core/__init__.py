"""The parts of sertool: each room imports only from the rooms below it (audio, corpus, metrics, models, training …)."""
