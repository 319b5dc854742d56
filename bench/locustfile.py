"""Load for key-value-cache from Locust, with its web page: nine GETs to a PUT.

    pip install locust
    npm start                             # in another terminal
    locust -f bench/locustfile.py         # then open http://localhost:8089

On the page enter 100 users, a spawn rate of 10 and the host http://localhost:7171, and start. Locust itself takes
about a millisecond per request and process: `--processes -1` uses all processors.
"""

import random
import string

from locust import FastHttpUser, constant, task


class CacheUser(FastHttpUser):
    host = "http://localhost:7171"
    wait_time = constant(0)

    def on_start(self) -> None:
        self.known = {}
        self.put()

    @task(1)
    def put(self) -> None:
        key = f"locust-{id(self)}-{random.randrange(10_000)}"
        value = "".join(random.choices(string.ascii_letters, k=100))
        with self.client.post("/put", json={"key": key, "value": value}, catch_response=True) as response:
            if response.status_code == 200:
                self.known[key] = value
            else:
                response.failure(f"status {response.status_code}")

    @task(9)
    def get(self) -> None:
        """Only the keys that this user has put can be expected."""
        key, value = random.choice(list(self.known.items()) or [("locust-unknown", None)])
        with self.client.get(f"/get?key={key}", name="/get?key=", catch_response=True) as response:
            if value is None and response.status_code == 404:
                response.success()
            elif response.status_code != 200 or response.json()["value"] != value:
                response.failure(f"status {response.status_code}, or not the value that was put")
