"""What is around the models of a new repository: git, the forge's workflows, and the person who begins."""
