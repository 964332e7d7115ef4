"""The report of the data: what a pair holds, in figures and plots."""
