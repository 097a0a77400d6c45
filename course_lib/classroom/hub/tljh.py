"""For The Littlest JupyterHub: one server, a system user for everybody, limits that hold.

On a fresh Ubuntu or Debian, as its administrator, install TLJH as tljh.jupyter.org says; then, with
the course in /srv/inside-r1 (for all to read, for root alone to write):

    sudo /opt/tljh/user/bin/python -m pip install -r /srv/inside-r1/requirements.txt
    sudo /opt/tljh/hub/bin/python -m pip install --no-deps -e /srv/inside-r1
    sudo cp /srv/inside-r1/course_lib/classroom/hub/tljh.py /opt/tljh/config/jupyterhub_config.d/
    sudo tljh-config reload hub

TLJH brings its own authenticator (a password each chooses at the first login; add people with
`tljh-config add-item users.allowed NAME`), its culler and its proxy; those stay.
"""

from course_lib.classroom.hub import settings

c = get_config()  # type: ignore[name-defined]  # noqa: F821
settings.apply(c, culler=False)
c.Spawner.cmd = ["/opt/tljh/user/bin/python", "-m", "course_lib.classroom.hub"]
