from broker import broker, make_broker, observe

__all__ = ["broker", "make_broker", "observe"]
