"""A class on one JupyterHub: the settings, and what begins with every user's server.

`python -m course_lib.classroom.hub` stands before a user's JupyterLab (`__main__`): it lays out the
course in their home (`lay_out`) and becomes the server. `jupyterhub_config.py` is a hub that works
as it is, `tljh.py` the same for The Littlest JupyterHub, `values.yaml` for Zero to JupyterHub.
`warm` has torch loaded once for all kernels of the first, and `kernel` stands for one of them.
"""
