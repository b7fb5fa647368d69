"""Where backups go: one small protocol, one implementation a file. A sink is not believed, only asked."""
