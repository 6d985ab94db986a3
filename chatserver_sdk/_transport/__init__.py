"""Sending: one requests.Session, every failure mapped, body bytes handed on as they arrive.

The only room that knows requests and urllib3. It knows nothing of completions.
"""

from .addresses import DEFAULT_BASE_URL as DEFAULT_BASE_URL
from .addresses import normalize_base_url as normalize_base_url
from .addresses import path_of as path_of
from .addresses import path_segment as path_segment
from .retries import RetryPolicy as RetryPolicy
from .sending import Transport as Transport
from .settings import CallOptions as CallOptions
from .settings import Settings as Settings
from .timeouts import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
from .timeouts import Timeout as Timeout
