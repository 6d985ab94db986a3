"""Sending: one requests.Session, every failure mapped, body bytes handed on as they arrive.

The only room that knows requests and urllib3. It knows nothing of completions.
"""

from .body import ByteBody as ByteBody
from .sending import DEFAULT_BASE_URL as DEFAULT_BASE_URL
from .sending import Transport as Transport
from .sending import normalize_base_url as normalize_base_url
from .sending import path_segment as path_segment
from .timeouts import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
from .timeouts import Timeout as Timeout
