"""What to learn first: DeepMI and the scores it is compared with."""
