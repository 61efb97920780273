"""The pace: how many at once, and when, by a clock moved by hand."""

from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf
from random import Random

import pytest

from tokenwire.batch.pace import Pace
from tokenwire.batch.said import Said


def fill(pace: Pace, now: float = 0.0) -> list[int]:
    """Begin as many as may begin now."""
    numbers: list[int] = []
    while pace.wait(now) == 0:
        numbers.append(pace.started(now))
    return numbers


def succeed(pace: Pace, numbers: list[int], now: float = 0.0) -> None:
    for number in numbers:
        pace.ended(number, now, ok=True)


def test_it_begins_with_sixteen_and_doubles_up_to_the_most() -> None:
    pace, sizes = Pace(most=100), list[int]()
    for now in range(5):
        numbers = fill(pace, now)
        assert pace.wait(now) == inf
        sizes.append(len(numbers))
        succeed(pace, numbers, now)
    assert sizes == [16, 32, 64, 100, 100]
    assert pace.in_flight == 0


def test_the_least_and_the_most() -> None:
    assert len(fill(Pace(most=3))) == 3
    assert len(fill(Pace(least=40, most=40))) == 40
    pace = Pace(least=10, most=20)
    for now in range(0, 300, 100):
        for number in fill(pace, now):
            pace.ended(number, now, overload=True, rest=0)
    assert pace.limit == 10


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    pace = Pace()
    for now in range(100):
        succeed(pace, [pace.started(now)], now)
    assert pace.limit == 16


def test_failures_that_are_no_overload_change_nothing() -> None:
    pace = Pace()
    for number in fill(pace):
        pace.ended(number, 0)
    assert pace.limit == 16
    assert pace.wait(0) == 0


def test_a_burst_of_refusals_cuts_once() -> None:
    pace = Pace()
    numbers = fill(pace)
    for number in numbers[:10]:
        pace.ended(number, 0, overload=True, rest=5)
    assert pace.limit == pytest.approx(11.2)
    assert pace.resting(1) == 4
    succeed(pace, numbers[10:], 1)  # sent before the cut: they prove nothing
    assert pace.limit == pytest.approx(11.2)
    assert pace.wait(1) == 4
    pace.ended(pace.started(6), 6, overload=True)
    assert pace.limit == pytest.approx(7.84)


def test_after_a_cut_it_grows_slowly() -> None:
    pace = Pace(least=16, most=100)
    pace.ended(fill(pace)[0], 0, overload=True, rest=0)
    now, limits = 0.0, list[float]()
    for _ in range(4):
        now += 10
        numbers: list[int] = []
        while pace.wait(now) < inf:
            now += pace.wait(now)
            numbers.append(pace.started(now))
        for number in [*range(1, 16)] if not limits else []:
            pace.ended(number, now, ok=True)
        succeed(pace, numbers, now)
        limits.append(pace.limit)
    assert limits[-1] < 20
    assert sorted(limits) == limits


def test_a_rest_that_the_service_does_not_time_doubles() -> None:
    rests: list[float] = []
    pace, now = Pace(random=lambda: 0.0), 0.0
    for _ in range(8):
        first, second = pace.started(now), pace.started(now)
        pace.ended(first, now, overload=True)
        pace.ended(second, now, overload=True)  # of the same burst
        rests.append(pace.resting(now))
        now += rests[-1]
    assert rests == [2, 4, 8, 16, 32, 60, 60, 60]
    succeed(pace, [pace.started(now)], now)
    pace.ended(pace.started(now), now, overload=True)
    assert pace.resting(now) == 2


def test_no_rest_is_forever() -> None:
    pace = Pace()
    pace.ended(pace.started(0), 0, overload=True, rest=inf)
    assert pace.resting(0) == 86400


def test_after_a_rest_they_come_back_one_by_one() -> None:
    pace = Pace(random=lambda: 0.5)
    for number in fill(pace):
        pace.ended(number, 0, overload=True, rest=3)
    assert len(fill(pace, 3)) == 1
    gap = pace.wait(3)
    assert gap == pytest.approx(1 / pace.limit)
    times: list[float] = []
    now = 3.0
    while pace.wait(now) < inf:
        now += pace.wait(now)
        pace.started(now)
        times.append(now)
    assert len(times) == int(pace.limit) - 1
    assert times == sorted(set(times))
    assert times[-1] < 4.1


def test_a_ceiling_of_requests() -> None:
    pace, now, starts = Pace(rpm=60), 0.0, 0
    while now < 60:
        wait = pace.wait(now)
        if wait:
            now += wait
        else:
            succeed(pace, [pace.started(now)], now)
            starts += 1
    assert 60 <= starts <= 62


def test_a_ceiling_of_tokens_is_corrected_by_what_was_used() -> None:
    pace = Pace(tpm=6000)  # 100 a second
    number = pace.started(0, 50)
    assert pace.wait(0, 50) == 0
    pace.ended(number, 0, ok=True, tokens=90)
    assert pace.wait(0, 50) == pytest.approx(0.4)
    pace.started(0.4, 50)
    assert pace.wait(0.4, 1000) == pytest.approx(1)  # larger than the bucket: a full one is enough
    pace.ended(pace.started(1.4, 1000), 1.4, ok=True)
    assert pace.wait(1.4, 1) > 8


def test_nothing_is_asked_while_nothing_is_left() -> None:
    pace = Pace()
    first, second = pace.started(0), pace.started(0)
    pace.responded(second, 1, [Said("requests", 0, 100, 30)])
    pace.responded(first, 1, [Said("requests", 1, 100, 30)])  # sent before: it knows less
    assert pace.wait(1) == inf  # what is in flight may say more
    assert pace.resting(1) == 30
    succeed(pace, [first, second], 1)
    assert pace.wait(1) == 30
    assert pace.wait(31) == 0
    assert pace.resting(31) == 0


def test_what_was_sent_since_is_not_left() -> None:
    pace = Pace()
    number = pace.started(0)
    pace.responded(number, 0, [Said("requests", 3, None, 30)])
    assert len(fill(pace)) == 3


def test_little_is_spread_over_the_time_that_is_left() -> None:
    pace = Pace()
    number = pace.started(0)
    pace.responded(number, 0, [Said("requests", 6, 100, 30)])
    assert pace.wait(0) == pytest.approx(5)
    assert pace.resting(0) == 0
    pace.started(5)
    assert pace.wait(5) == pytest.approx(25 / 5)


def test_tokens_that_are_left() -> None:
    pace = Pace()
    pace.responded(pace.started(0, 10), 0, [Said("tokens", 100, 100, 10)])
    assert pace.wait(0, 60) == 0
    pace.started(0, 60)
    assert pace.wait(0, 60) == inf
    # More than the service ever allows is asked once all of it is there.
    alone = Pace()
    alone.responded(alone.started(0, 10), 0, [Said("tokens", 100, 100, 10)])
    assert alone.wait(0, 1000) == 0


def test_workers_share_what_is_left() -> None:
    pace = Pace(workers=4, rpm=240)
    pace.responded(pace.started(0), 0, [Said("requests", 8, 80, 30), Said("tokens", 9, None, 1)])
    assert pace.wait(0) == pytest.approx(1)  # the ceiling is shared, too
    assert len(fill(pace, 20)) == 1
    assert pace.wait(20) > 0


def test_a_machine_that_was_asleep_brings_no_herd() -> None:
    pace = Pace(rpm=6000)
    numbers = fill(pace)
    succeed(pace, numbers, 1)
    assert len(fill(pace, 3601)) == 1
    assert 0 < pace.wait(3601) < 0.1
    asleep = Pace()
    for number in fill(asleep):
        asleep.ended(number, 0, overload=True, rest=5)
    assert asleep.wait(3600) == 0
    assert asleep.wait(3599) >= 0  # a clock that goes back is no time


class Service:
    """A service in the memory: answers after `latency`, allows `most` at once."""

    def __init__(self, most: int, rest: float) -> None:
        self.most, self.rest = most, rest
        self.open = 0
        self.refused_at: list[float] = []
        self.sent_at: list[float] = []
        self.quiet_until = -inf

    def run(self, pace: Pace, seconds: float, random: Random) -> Iterator[float]:
        """Drive `pace`; yields its limit at each end."""
        now, ends = 0.0, list[tuple[float, int, bool]]()
        while now < seconds:
            wait = pace.wait(now)
            if wait == 0:
                number = pace.started(now)
                refused = self.open >= self.most
                self.sent_at.append(now)
                if refused:
                    self.refused_at.append(now)
                    heappush(ends, (now + 0.001, number, True))
                else:
                    self.open += 1
                    heappush(ends, (now + 0.2 + random.random() / 10, number, False))
                continue
            if not ends or now + wait < ends[0][0]:
                now += wait
                continue
            now, number, refused = heappop(ends)
            if refused:
                pace.ended(number, now, overload=True, rest=self.rest)
            else:
                self.open -= 1
                pace.ended(number, now, ok=True)
            yield pace.limit


def test_it_settles_below_what_a_service_allows() -> None:
    """One that allows 20 at once and says `Retry-After: 1` beyond that (acceptance 6)."""
    random = Random(1)
    service, pace = Service(20, 1.0), Pace(random=random.random)
    limits = list(service.run(pace, 120, random))
    late = limits[len(limits) // 4 :]
    assert min(late) >= 14
    assert sum(late) / len(late) < 20
    assert max(late) < 22.1  # one more is tried at times
    sent = sum(at > 10 for at in service.sent_at)
    refused = [at for at in service.refused_at if at > 10]
    assert len(refused) < 0.03 * sent
    # And within a rest, nothing is sent.
    for at in refused:
        assert not [sent for sent in service.sent_at if at + 0.002 < sent < at + 1]


@pytest.mark.parametrize("refills", [True, False], ids=["bucket", "window"])
def test_a_service_that_tells_its_limit_is_used_and_never_refuses(refills: bool) -> None:
    """600 a minute, told in each response (acceptance 7)."""
    pace, now, level, window, used = Pace(most=64), 0.0, 600.0, 0.0, 0
    ends: list[tuple[float, int, Said]] = []
    while now < 300:
        wait = pace.wait(now)
        before = now
        if wait == 0:
            assert level >= 1, f"refused at {now}"
            level, used = level - 1, used + 1
            reset = (600 - level) / 10 if refills else window + 60 - now
            said = Said("requests", int(level), 600, reset)
            heappush(ends, (now + 0.2, pace.started(now), said))
            continue
        if ends and ends[0][0] <= now + wait:
            now, number, said = heappop(ends)
            pace.responded(number, now, [said])
            pace.ended(number, now, ok=True)
        else:
            now += wait
        if refills:
            level = min(600.0, level + (now - before) * 10)
        elif now >= window + 60:
            window, level = now, 600.0
    assert used > 0.9 * 600 * 5
