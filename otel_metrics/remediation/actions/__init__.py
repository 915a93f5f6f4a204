"""What a playbook can be bound to: programs, HTTP calls, functions, and scaling."""
