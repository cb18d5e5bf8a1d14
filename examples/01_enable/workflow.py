"""An ordinary Parsl workflow, and the one line that streams and resolves its failures."""

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from parsl_monitor import enable


@parsl.python_app
def halve(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


@parsl.python_app
def total(*numbers):
    return sum(numbers)


def main():
    config = Config(
        executors=[
            HighThroughputExecutor(
                label="htex",
                address="127.0.0.1",
                max_workers_per_node=2,
                provider=LocalProvider(init_blocks=1, max_blocks=1),
            )
        ],
        retries=3,
        strategy="none",
    )
    config = enable(config)  # <- this line

    with parsl.load(config) as dfk:
        print("run", dfk.run_id)
        even = [halve(number) for number in (2, 4, 6, 8)]
        odd = halve(7)
        print("halves:", [future.result() for future in even])
        print("total of the even:", total(*even).result())
        print("the odd one failed:", odd.exception())
        print("and so did what needed it:", type(total(odd).exception()).__name__)


if __name__ == "__main__":
    main()
