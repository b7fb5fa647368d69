from .config import FAIL_REASON as FAIL_REASON, SyncObjConf as SyncObjConf
from .syncobj import SyncObj as SyncObj
