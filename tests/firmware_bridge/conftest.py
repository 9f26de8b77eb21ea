from broker import broker, make_broker, observe
from daemons import daemon_process
from microcontroller import line, reference

__all__ = ["broker", "daemon_process", "line", "make_broker", "observe", "reference"]
