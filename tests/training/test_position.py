"""A training that goes on in the middle of its data gets the batches, and the random numbers, of the unbroken one."""

import functools
import io
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from trainstore.errors import CheckpointError
from trainstore.training.checkpoint_file import plain
from trainstore.training.position import Position
from trainstore.training.random_states import random_states, restore_random_states

CPU = torch.device("cpu")
EPOCHS, BATCHES = 3, 5


class Numbers(Dataset):
    """Its examples are their indices."""

    def __len__(self):
        return 4 * BATCHES

    def __getitem__(self, index):
        return torch.tensor(float(index))


class Noise(Numbers):
    """Its examples are random each time they are asked for, by PyTorch, NumPy and Python, as augmented images are."""

    def __getitem__(self, index):
        return index + torch.rand(()) + np.random.rand() + random.random()


class Stream(IterableDataset):
    """It has no indices."""

    def __iter__(self):
        return (torch.tensor(float(index)) for index in range(4 * BATCHES))


def own(seed=7):
    return torch.Generator().manual_seed(seed)


def with_replacement(**options):
    data = Numbers()
    return DataLoader(data, 4, sampler=RandomSampler(data, replacement=True, **options))


PLAIN = {
    "in order": lambda: DataLoader(Numbers(), 4),
    "shuffled": lambda: DataLoader(Numbers(), 4, shuffle=True),
    "shuffled, a generator": lambda: DataLoader(Numbers(), 4, shuffle=True, generator=own()),
    "shuffled, workers": lambda: DataLoader(Numbers(), 4, shuffle=True, num_workers=2),
    "shuffled, a generator, workers": lambda: DataLoader(Numbers(), 4, shuffle=True, generator=own(), num_workers=2),
    "with replacement": with_replacement,
    "with replacement, the sampler's generator": lambda: with_replacement(generator=own()),
    "a stream": lambda: DataLoader(Stream(), 4),
}
RANDOM = {
    "random": lambda: DataLoader(Noise(), 4, shuffle=True),
    "random, a generator": lambda: DataLoader(Noise(), 4, shuffle=True, generator=own()),
    "random, workers": lambda: DataLoader(Noise(), 4, shuffle=True, num_workers=2),
    "random, a generator, workers": lambda: DataLoader(Noise(), 4, shuffle=True, generator=own(), num_workers=2),
}


def seed(number):
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def train(position, loader, first=0, stop=None):
    """What each step sees: its batch, and the random numbers that it draws, as dropout does.

    A stop is an epoch and the number of its batches after which the process ends; then its state comes, too.
    """
    seen = []
    for epoch in range(first, EPOCHS):
        for batch in position.batches(loader, epoch):
            seen.append((batch.tolist(), torch.rand(()).item(), np.random.rand(), random.random()))
            if (epoch, position.taken) == stop:
                return seen, through_a_file(position.state_dict())
        position.end_epoch()
        if (epoch + 1, 0) == stop:
            return seen, through_a_file(position.state_dict())
    return seen


def through_a_file(state):
    """What a checkpoint gives back of it."""
    file = io.BytesIO()
    torch.save(plain(state), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def resumed(make, state, skip_data="batches"):
    """The steps of a new process that goes on from a state."""
    seed(99)
    position = Position(CPU, skip_data)
    position.load_state_dict(state)
    position.restore()
    return train(position, make(), first=position.epoch)


@functools.cache
def whole(make, skip_data):
    """The unbroken training, which is the same wherever the other stops."""
    seed(1)
    return train(Position(CPU, skip_data), make())


def halves(make, stop, skip_data="batches"):
    """The unbroken training, and one that stopped and went on."""
    unbroken = whole(make, skip_data)
    seed(1)
    before, state = train(Position(CPU, skip_data), make(), stop=stop)
    return unbroken, before + resumed(make, state, skip_data)


@pytest.mark.parametrize("stop", [(0, 1), (1, 3), (1, BATCHES), (2, 0)], ids=str)
@pytest.mark.parametrize("data", PLAIN | RANDOM)
def test_a_training_goes_on_with_the_batches_that_it_would_have_had(data, stop):
    """At an epoch's first batch, in its middle, at its last, and between two epochs."""
    unbroken, broken = halves((PLAIN | RANDOM)[data], stop)
    assert len(unbroken) == EPOCHS * BATCHES
    assert broken == unbroken


@pytest.mark.parametrize("stop", [(0, 1), (1, 3), (1, BATCHES), (2, 0)], ids=str)
@pytest.mark.parametrize("data", PLAIN)
def test_skipping_by_the_sampler_is_exact_where_no_data_is_random(data, stop):
    """With the same random numbers, too."""
    unbroken, broken = halves(PLAIN[data], stop, "sampler")
    assert broken == unbroken


def test_skipping_by_the_sampler_loads_nothing_of_what_was_taken():
    """That is what it is for."""
    loaded = []

    class Counted(Numbers):
        def __getitem__(self, index):
            loaded.append(index)
            return super().__getitem__(index)

    def make():
        return DataLoader(Counted(), 4, shuffle=True)

    _, state = train(Position(CPU, "sampler"), make(), stop=(0, 3))
    loaded.clear()
    position = Position(CPU, "sampler")
    position.load_state_dict(state)
    rest = list(position.batches(make(), 0))
    assert len(rest) == BATCHES - 3
    assert sorted(loaded) == sorted(int(one) for batch in rest for one in batch)


def test_skipping_by_the_sampler_keeps_a_loader_of_ones_own_class():
    """What it does with a batch is done to the rest."""

    class Doubled(DataLoader):
        def __iter__(self):
            return (2 * batch for batch in super().__iter__())

    unbroken, broken = halves(lambda: Doubled(Numbers(), 4, shuffle=True), (1, 2), "sampler")
    assert broken == unbroken


def test_a_loader_with_a_state_of_its_own_goes_on_by_it():
    """If that is asked for, nothing is loaded twice."""

    class Stateful:
        def __init__(self):
            self.taken = self.first = 0

        def __iter__(self):
            for number in range(self.first + 1, BATCHES + 1):
                self.taken = number
                yield torch.tensor([float(number)])
            self.first = 0

        def state_dict(self):
            return {"taken": self.taken}

        def load_state_dict(self, state):
            self.first = state["taken"]

    unbroken, broken = halves(Stateful, (1, 2), "loader")
    assert broken == unbroken


@pytest.mark.parametrize("restores", [False, True])
def test_a_state_that_was_loaded_and_not_used_is_the_state(restores):
    """A process that ends before its first batch has lost nothing."""
    make = RANDOM["random, a generator"]
    seed(1)
    unbroken = train(Position(CPU), make())
    for stop in ((1, 3), (2, 0)):
        seed(1)
        before, state = train(Position(CPU), make(), stop=stop)
        between = Position(CPU)
        seed(5)
        between.load_state_dict(state)
        if restores:
            between.restore()
        assert before + resumed(make, through_a_file(between.state_dict())) == unbroken


def test_an_epoch_whose_last_batch_was_taken_can_be_ended():
    """The next epoch begins with the random numbers of the checkpoint."""
    make = RANDOM["random, a generator"]
    unbroken = make()
    seed(1)
    first = Position(CPU)
    for _, batch in zip(range(BATCHES), first.batches(unbroken, 0), strict=False):
        assert len(batch) == 4
    state = through_a_file(first.state_dict())
    first.end_epoch()
    expected = train(first, unbroken, first=1)

    seed(99)
    second = Position(CPU)
    second.load_state_dict(state)
    second.restore()
    second.end_epoch()
    assert resumed(make, through_a_file(second.state_dict())) == expected
    second.restore()
    assert train(second, make(), first=1) == expected


def test_a_resumed_training_can_be_broken_again():
    """The epoch's start is still that of the first process."""
    make = RANDOM["random, workers"]
    seed(1)
    unbroken = train(Position(CPU), make())
    seed(1)
    before, state = train(Position(CPU), make(), stop=(1, 2))
    again = Position(CPU)
    again.load_state_dict(state)
    seed(5)
    between, state = train(again, make(), first=1, stop=(1, 4))
    assert before + between + resumed(make, state) == unbroken


def test_everything_that_orders_data_is_told_the_epoch():
    """The sampler, the batch sampler, and the data set."""
    told = []

    class Told(Numbers):
        def set_epoch(self, epoch):
            told.append(epoch)

    train(Position(CPU), DataLoader(Told(), 4))
    assert told == [0, 1, 2]


@pytest.mark.parametrize("skip_data", ["batches", "sampler"])
def test_fewer_batches_than_were_taken_are_an_error(skip_data):
    """The data is not that of the checkpoint."""
    _, state = train(Position(CPU), PLAIN["shuffled"](), stop=(0, 4))
    with pytest.raises(CheckpointError, match="after 4 batches of the epoch, and the data loader gives 3"):
        resumed(lambda: DataLoader(torch.arange(12.0), 4), state, skip_data)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: DataLoader(Numbers(), 4, num_workers=1), "has 1 workers, and had 0"),
        (lambda: iter([torch.zeros(1)] * BATCHES), "is an iterator"),
    ],
)
def test_what_cannot_be_exact_is_named(make, told, caplog):
    """Once."""
    _, state = train(Position(CPU), PLAIN["in order"](), stop=(0, 2))
    position = Position(CPU)
    position.load_state_dict(state)
    list(position.batches(make(), 0))
    assert [told in record.getMessage() for record in caplog.records] == [True]


def test_workers_that_persist_are_named(caplog):
    """Their random numbers of earlier epochs are gone with the process."""

    def make():
        return DataLoader(Noise(), 4, num_workers=2, persistent_workers=True)

    unbroken, broken = halves(make, (1, 2))
    assert broken != unbroken
    assert "persistent_workers" in caplog.text


def test_random_states_come_back_from_a_file():
    """PyTorch's, NumPy's and Python's."""

    def draw():
        return torch.rand(()).item(), np.random.rand(), np.random.randn(), random.random(), random.gauss(0, 1)

    draw()  # NumPy and Python keep the second of two normal numbers
    states = through_a_file(random_states(CPU))
    first = draw()
    assert draw() != first
    restore_random_states(states, CPU)
    assert draw() == first
