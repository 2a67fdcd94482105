# Benign: an event loop.
import asyncio
async def main():
    await asyncio.sleep(0.01)
    print(7)
asyncio.run(main())
