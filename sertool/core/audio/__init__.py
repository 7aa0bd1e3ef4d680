"""Samples: reading and writing files, resampling, spectra."""
