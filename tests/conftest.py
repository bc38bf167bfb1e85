"""Its being here lets the tests in every folder import the helpers that lie beside it."""
