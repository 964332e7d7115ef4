"""One thread a process: sums in another order round differently, and ranks are compared byte for byte."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; spawned ranks and commands inherit it
