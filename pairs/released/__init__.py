"""The released form: two catalogues and three files of samples, taken as they are or refused."""
