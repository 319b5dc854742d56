"""The same API as a FastAPI application: an LRU cache in the memory of each worker process."""

from collections import OrderedDict

from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

CAPACITY = 1_000_000

app = FastAPI()
app.add_middleware(GZipMiddleware, minimum_size=1024)
entries: "OrderedDict[str, str]" = OrderedDict()


class Entry(BaseModel):
    key: str = Field(min_length=1, max_length=256)
    value: str = Field(max_length=1024 * 1024)


@app.put("/cache", status_code=201)
async def put(entry: Entry):
    entries[entry.key] = entry.value
    entries.move_to_end(entry.key)
    if len(entries) > CAPACITY:
        entries.popitem(last=False)
    return {"status": "OK", "message": "Key inserted/updated successfully."}


@app.get("/cache/{key}")
async def get(key: str):
    value = entries.get(key)
    if value is None:
        return JSONResponse({"status": "ERROR", "message": "Key not found."}, status_code=404)
    entries.move_to_end(key)
    return {"status": "OK", "key": key, "value": value}
