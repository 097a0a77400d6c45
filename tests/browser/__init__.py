"""JupyterLab in a real browser, as a learner has it."""
