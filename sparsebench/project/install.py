"""The child process in which asv builds and installs a commit, whose environment is then copied.

``python -m sparsebench.project.install ROOT ENVIRONMENT COMMIT FOLDER``; output goes to the log.
"""

import os
import sys
from pathlib import Path
from typing import Any

from asv.config import Config
from asv.console import log
from asv.environment import get_environments
from asv.plugin_manager import plugin_manager  # noqa: F401  # its import registers virtualenv
from asv.repo import get_repo

from sparsebench.project.installations import copy_environment


def main(root: str, environment: str, commit: str, folder: str) -> None:
    """Install the commit into asv's environment, then copy that to ``folder``."""
    os.chdir(root)  # asv takes its settings' paths to be relative to it
    log.enable(verbose=True)
    config: Any = Config.load("asv.conf.json")
    env = next(e for e in get_environments(config, None, verbose=False) if e.name == environment)
    env.create()
    env.install_project(config, get_repo(config), commit)
    source = Path(env.find_executable("python")).parents[1]
    variables = {
        **env.env_vars,
        "ASV": "true",
        "ASV_PROJECT": config.project,
        "ASV_CONF_DIR": root,
        "ASV_COMMIT": commit,
        "ASV_ENV_NAME": env.name,
        "ASV_ENV_DIR": folder,
    }
    copy_environment(source, Path(folder), variables)


if __name__ == "__main__":
    main(*sys.argv[1:])
