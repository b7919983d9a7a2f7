"""What surrounds the views of every request: who asks and from where, what is refused, and what an outage answers."""
