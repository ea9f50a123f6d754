"""The paper's tables and figures at the size of this machine: `python -m experiments`, see CONTRIBUTING.md."""
