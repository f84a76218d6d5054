"""Durations as people read them: 45 s, 3 min, 2 h 10 min, 3 days."""


def duration(seconds: float) -> str:
    """Rounded to what matters."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min"
    return f"{round(seconds / 86400)} days"


def clock(seconds: float) -> str:
    """00:21, 12:05, 3:00:10."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes:02d}:{second:02d}"
