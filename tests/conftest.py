"""Its being here lets the tests in every folder import the helpers that lie beside it."""

import os

# Read when torch is loaded, here and in child processes: on tensors this small several threads are
# slower than one, and where two processes test they would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
