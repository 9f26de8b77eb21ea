"""Measurements of this checkout, ``python -m benchmarks``; not part of the installed package."""

import os

# Before NumPy loads its BLAS: figures are per core unless asked otherwise.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
