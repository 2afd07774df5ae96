"""What takes long: searches, trainings, deployments, prunings and audits, each a folder that can be resumed."""
