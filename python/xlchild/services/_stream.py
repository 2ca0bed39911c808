"""Waiting in asyncio; apart from the rest, as it is slow to import.

Called by Services.stream() (_services.py).
"""
import asyncio

__all__ = ["readable"]


async def readable(fd, timeout):
    """Until fd is readable, or timeout seconds (None: for ever) are over."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake():
        if not woken.done():
            woken.set_result(None)

    loop.add_reader(fd, wake)
    timer = None if timeout is None else loop.call_later(timeout, wake)
    try:
        await woken
    finally:
        loop.remove_reader(fd)
        if timer is not None:
            timer.cancel()
