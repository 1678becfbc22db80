"""What several tests share: invented logs, small runs, the networks of the ports, a page's reader."""
