"""The fixtures with kernels in them."""
import pytest


@pytest.fixture
def jp_zmq_context():
    """A context of the test's own."""
    import zmq
    context = zmq.asyncio.Context()
    yield context
    context.term()


@pytest.fixture
def jp_start_kernel(jp_environ, jp_asyncio_loop):
    """Starts a kernel of the name given: (manager, client); all are ended."""
    from jupyter_client.manager import start_new_async_kernel
    started = []

    async def start(kernel_name="", **kwargs):
        pair = await start_new_async_kernel(kernel_name=kernel_name, **kwargs)
        started.append(pair)
        return pair

    yield start
    for manager, client in started:
        client.stop_channels()
        jp_asyncio_loop.run_until_complete(
            manager.shutdown_kernel(now=True))
