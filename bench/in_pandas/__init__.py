"""What pairs.prepare does, written with pandas: beside it bench/pairs.py measures."""
