"""A report: one page about an evaluation that a person understands without having read anything else."""
