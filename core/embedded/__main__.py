"""`python -m core.embedded`: the whole service, until Ctrl-C."""

import sys

from core.embedded.broker import BrokerError
from core.embedded.service import Service, ServiceError
from core.settings import get_settings

try:
    Service(get_settings()).run()
except (ServiceError, BrokerError) as error:
    sys.exit(f"Rankwise cannot start: {error}")
