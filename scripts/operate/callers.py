"""Who calls the service: a product with its tokens, and those that ask about them without a pause."""

import asyncio
import collections
import math
import pathlib
import random
import sys
import time

import grpc

from stage import ROOT

sys.path.append(str(ROOT / "proto"))


def protocol(name):
    """Returns the messages and the services of a file of the protocol."""
    return grpc.protos_and_services(f"tokenauthority/v1/{name}.proto")


introspection, introspection_services = protocol("introspection")
scopes, scope_services = protocol("scope")
tenants, tenant_services = protocol("tenant")
tokens, token_services = protocol("token")
users, user_services = protocol("user")

# A client's own retries would hide what failed.
BARE = [("grpc.enable_retries", 0)]
TENANT = "acme"


def bearer(value):
    """Returns the metadata that a caller shows."""
    return [("authorization", f"Bearer {value}")]


class Product:
    """A tenant with a user, tokens, and a service that introspects; all made by the operator."""

    def __init__(self, address, operator):
        self.operator = bearer(operator)
        self.tokens = {}
        with grpc.insecure_channel(address) as channel:
            tenant_services.TenantServiceStub(channel).CreateTenant(
                tenants.CreateTenantRequest(tenant_id=TENANT, token_prefix="acme_"),
                metadata=self.operator,
            )
            catalog = scopes.UpdateCatalogRequest(tenant_id=TENANT)
            catalog.catalog.scopes.add(name="read", description="Read")
            scope_services.ScopeServiceStub(channel).UpdateCatalog(catalog, metadata=self.operator)
            made = user_services.UserServiceStub(channel).CreateUser(
                users.CreateUserRequest(tenant_id=TENANT, external_id="ada"), metadata=self.operator
            )
            self.user = made.user.user_id
            service = tokens.CreateTokenRequest(
                tenant_id="authority",
                kind="TOKEN_KIND_SERVICE",
                name="gateway",
                scopes=["authority:introspect"],
            )
            stub = token_services.TokenServiceStub(channel)
            self.service = bearer(stub.CreateToken(service, metadata=self.operator).value)

    def create(self, address, count):
        """Creates tokens; returns their values."""
        with grpc.insecure_channel(address) as channel:
            return [self.create_one(channel) for _ in range(count)]

    def create_one(self, channel):
        """Creates a token; returns its value."""
        request = tokens.CreateTokenRequest(
            tenant_id=TENANT, user_id=self.user, name=f"token {len(self.tokens)}", scopes=["read"]
        )
        request.ttl.seconds = 86400
        stub = token_services.TokenServiceStub(channel)
        answer = stub.CreateToken(request, metadata=self.operator)
        self.tokens[answer.value] = answer.token.token_id
        return answer.value

    def revocation(self, value):
        """Returns the request that revokes a token."""
        return tokens.RevokeTokenRequest(tenant_id=TENANT, token_id=self.tokens[value])

    def revoke(self, address, value):
        """Revokes a token."""
        with grpc.insecure_channel(address, options=BARE) as channel:
            stub = token_services.TokenServiceStub(channel)
            stub.RevokeToken(self.revocation(value), metadata=self.operator)

    def question(self, value):
        """Returns the request that asks about a value."""
        return introspection.IntrospectRequest(
            token=value, tenant_id=TENANT, required_scopes=["read"]
        )

    def answers(self, address, values):
        """Returns what is told of each value: everything but when, and as of which revision."""
        with grpc.insecure_channel(address, options=BARE) as channel:
            stub = introspection_services.IntrospectionServiceStub(channel)
            told = []
            for value in values:
                answer = stub.Introspect(self.question(value), metadata=self.service, timeout=10)
                answer.ClearField("evaluate_time")
                answer.ClearField("revision")
                told.append(answer.SerializeToString(deterministic=True))
            return told

    def is_right(self, value, answer):
        """Returns whether an answer that says active is of the token that has the value."""
        return (
            answer.allowed and answer.token_id == self.tokens[value] and answer.scopes == ["read"]
        )


class Load:
    """Introspections begun at a rate, whatever comes back; each answer is judged.

    What a value is at a time: a token's value is active until its revocation has begun, and inactive
    for every call that begins after that has returned. Between the two either is right.
    """

    def __init__(self, product, address, rate, options=(), connections=4):
        self.product, self.address, self.rate, self.connections = (
            product,
            address,
            rate,
            connections,
        )
        # Channels of one address would share a connection.
        self.options = [*options, ("grpc.use_local_subchannel_pool", 1)]
        self.begun, self.done = {}, {}
        self.counts = collections.Counter()
        self.failures, self.wrong = [], []
        self.slowest = 0.0
        # When the first call began that failed.
        self.first_failure = math.inf
        self.ending = False
        self.random = random.Random(1)

    async def __aenter__(self):
        self.channels = [
            grpc.aio.insecure_channel(self.address, options=self.options)
            for _ in range(self.connections)
        ]
        await asyncio.gather(*(channel.channel_ready() for channel in self.channels))
        self.asking = [
            introspection_services.IntrospectionServiceStub(channel) for channel in self.channels
        ]
        self.changing = token_services.TokenServiceStub(self.channels[0])
        self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_):
        self.ending = True
        await self.task
        for channel in self.channels:
            await channel.close()

    async def run(self):
        """Begins calls until it is told to end, and waits for the last."""
        calls, due, turn = set(), time.monotonic(), 0
        while not self.ending:
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            call = asyncio.create_task(
                self.ask(self.asking[turn % self.connections], self.any_value())
            )
            turn += 1
            calls.add(call)
            call.add_done_callback(calls.discard)
        await asyncio.gather(*calls)

    def any_value(self):
        """Returns a token's value, or one that nobody has."""
        if self.random.random() < 0.2:
            return "acme_" + "".join(self.random.choices("0123456789abcdef", k=50))
        return self.random.choice(list(self.product.tokens))

    async def ask(self, stub, value):
        """Asks, and judges the answer."""
        begun = time.monotonic()
        try:
            answer = await stub.Introspect(
                self.product.question(value), metadata=self.product.service, timeout=10
            )
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"{error.code().name}: {error.details()}")
            self.first_failure = min(self.first_failure, begun)
            return
        ended = time.monotonic()
        self.slowest = max(self.slowest, ended - begun)
        known = value in self.product.tokens
        kind = (
            "unknown"
            if not known
            else "revoked"
            if begun >= self.done.get(value, begun + 1)
            else "good"
        )
        self.counts[kind] += 1
        if answer.active:
            good = known and kind == "good" and self.product.is_right(value, answer)
        else:
            good = kind != "good" or ended > self.begun.get(value, ended)
            good = good and not answer.allowed and not answer.token_id
        if not good:
            self.wrong.append(f"{kind} value: {answer}")

    async def revoke(self, value):
        """Revokes a token by the way that the load goes."""
        self.begun[value] = time.monotonic()
        try:
            await self.changing.RevokeToken(
                self.product.revocation(value), metadata=self.product.operator, timeout=10
            )
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"RevokeToken: {error.code().name}: {error.details()}")
            return
        self.done[value] = time.monotonic()

    def summary(self):
        """Returns what came of it, in a line."""
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        return (
            f"{sum(self.counts.values())} introspections ({counts}), {len(self.done)} revocations;"
            f" {len(self.failures)} failed, {len(self.wrong)} wrong; slowest {self.slowest * 1000:.0f} ms"
        )


def operator_token(directory):
    """Returns the operator's first token of a data directory."""
    return (pathlib.Path(directory) / "operator-token").read_text().strip()
