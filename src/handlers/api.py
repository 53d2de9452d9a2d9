"""The API on Lambda, behind API Gateway (REST and HTTP APIs), a function URL or an ALB.

Lambda looks `handler` up when it initialises an environment. That builds the app, once a process; importing the
module does nothing.
"""

from __future__ import annotations

from core.bootstrap import build_app
from core.settings import load_settings
from handlers.lambda_api import LambdaApi
from handlers.on_demand import handler_on_demand


def build_handler() -> LambdaApi:
    """Return the handler for the settings of the environment.

    Raises
    ------
    StartupError
        The app cannot be built: Lambda logs the sentence, and tries again at the next request.
    """
    return LambdaApi(build_app(load_settings(env_file=None)))


__getattr__ = handler_on_demand(__name__, build_handler)
