from broker import broker, make_broker, observe
from daemons import daemon_process

__all__ = ["broker", "daemon_process", "make_broker", "observe"]
