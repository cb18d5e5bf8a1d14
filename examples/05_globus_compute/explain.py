"""Ask the topics why the tasks of the newest session of the endpoint failed, and what was done about each."""

from octopus_plugins import decisions, failures, tasks


def main():
    failed = failures(run_id="last")  # a stream is read anew each time it is used
    print("How many tries failed of what:")
    for (category, host), number in failed.count_by("category", "host").items():
        print(f"  {number} × {category} on {host}")

    decided = {(decision.task_id, decision.try_id): decision for decision in decisions(run_id="last")}
    print("\nEach of them:")
    for failure in failed:
        decision = decided[failure.task_id, failure.try_id]
        print(f"  task {failure.task_id}, try {failure.try_id}, on {failure.host}, worker process {failure.pid}")
        print(f"    failed   {failure.categorization.category}: {failure.categorization.reason}")
        print(f"    decided  {decision.action}: {decision.reason}")

    print("\nHow the tasks ended:")
    for state, number in tasks(run_id="last", state=["exec_done", "failed"]).count_by("state").items():
        print(f"  {number} × {state}")


if __name__ == "__main__":
    main()
