"""What is wrong with a run, from its log: readers turn logs into a history, rules turn a history into findings."""
