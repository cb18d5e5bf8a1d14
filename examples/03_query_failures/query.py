"""Ask the stream about the newest run: what failed, where, why, and what was decided."""

from octopus_plugins import decisions, failures, runs, tasks


def main():
    run = max(runs(state="started"), key=lambda run: run.time, default=None)
    if run is None:
        print("No run has been streamed yet; examples/01_enable makes one.")
        return
    print(f"Run {run.run_id} on {run.host}")

    # A stream is read anew each time it is used.
    failed = failures(run_id=run.run_id)

    print("\nHow many of what:")
    for (layer, category), number in failed.count_by("layer", "category").items():
        print(f"  {number:3} {category} ({layer})")

    print("\nOne by one:")
    for failure in failed:
        print(f"  task {failure.task_id} try {failure.try_id} ({failure.app}) on {failure.host or 'no node'}:")
        print(f"    {failure.categorization.reason if failure.categorization else failure.exception.message}")

    print("\nWhat was decided:")
    for decision in decisions(run_id=run.run_id):
        print(f"  task {decision.task_id} try {decision.try_id}: {decision.action}: {decision.reason}")

    print("\nThe same as a table:")
    frame = failed.to_pandas()
    print(frame[["task_id", "try_id", "host", "exception.type", "categorization.category"]].to_string(index=False))

    lost = tasks(run_id=run.run_id, state=["failed", "dep_fail"]).count_by("app")
    print("\nTasks that failed for good, by app:", lost or "none")


if __name__ == "__main__":
    main()
