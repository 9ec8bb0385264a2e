from .api import Event as Event
from .api import Model as Model
from .api import Reconnect as Reconnect
from .api import Segmenter as Segmenter
from .api import detect_shots as detect_shots
from .api import load as load
from .api import segment as segment
from .errors import CheckpointError as CheckpointError
from .errors import ConfigError as ConfigError
from .errors import DeviceError as DeviceError
from .errors import ExtractionError as ExtractionError
from .errors import SourceError as SourceError
from .errors import StreamerError as StreamerError
from .errors import WeightsError as WeightsError
from .events.payload import Boundary as Boundary
from .events.payload import ExpertVote as ExpertVote
from .events.payload import Gap as Gap
from .events.payload import Scene as Scene
from .events.payload import Shot as Shot
from .pipeline.progress import Behind as Behind
from .pipeline.progress import Disconnected as Disconnected
from .pipeline.progress import Opened as Opened
from .pipeline.progress import Progress as Progress
from .push import Push as Push
from .timeline import Timestamp as Timestamp

__version__: str
__all__: list[str]
