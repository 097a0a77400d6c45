"""A hub for a class that works as it is, on one machine, for people who trust each other.

    CLASS_PASSWORD='a password for the class' jupyterhub -f course_lib/classroom/hub/jupyterhub_config.py

Everybody chooses a name and gives the class's password; homes are in `CLASS_FOLDER` (the folder
`class` where the hub is started). All servers run as whoever started the hub: people are kept apart
by their names only, and limits on memory are not enforced. Where that is not enough, take The
Littlest JupyterHub (`tljh.py`). Open to the network it is with `CLASS_ADDRESS=http://:8000`; the
password then goes over it in the clear, so put a server with TLS in front, or stay in the room.
"""  # noqa: E501

import os
import secrets
import sys
from pathlib import Path

from course_lib.classroom.hub import settings
from course_lib.errors import CourseError

c = get_config()  # type: ignore[name-defined]  # noqa: F821
settings.apply(c)

folder = Path(os.environ.get("CLASS_FOLDER", "class")).resolve()
(folder / "homes").mkdir(parents=True, exist_ok=True)
settings.share_imports(c, folder)
password = os.environ.get("CLASS_PASSWORD") or secrets.token_urlsafe(9)
if not os.environ.get("CLASS_PASSWORD"):
    print(f"The password of the class, until the hub is started again: {password}")

try:
    c.JupyterHub.bind_url = settings.address(os.environ.get("CLASS_ADDRESS") or settings.LOOPBACK)
except CourseError as error:
    sys.exit(str(error))
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = password
c.Authenticator.allow_all = True
c.Authenticator.username_pattern = r"[a-z0-9][a-z0-9_-]{0,30}"  # it is a folder's name too
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = f"{folder}/homes/{{username}}"

if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container, say
    c.Spawner.args = [*c.Spawner.args, "--allow-root"]

c.JupyterHub.db_url = f"sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{folder}/cookie_secret"
c.ConfigurableHTTPProxy.pid_file = f"{folder}/proxy.pid"
