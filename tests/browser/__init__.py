"""Real JupyterLab in real headless Chromium, and the tests that drive it."""
