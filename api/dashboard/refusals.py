"""What a page cannot do, said on a page."""

from fastapi import status


class Refused(Exception):
    def __init__(self, status_code: int, title: str, detail: str):
        super().__init__(detail)
        self.status_code = status_code
        self.title = title
        self.detail = detail


def foreign_form() -> Refused:
    detail = "It was not sent from a page of your session. Load the page again and repeat it there."
    return Refused(status.HTTP_403_FORBIDDEN, "This form was refused", detail)


def not_found(noun: str) -> Refused:
    detail = f"There is no such {noun} in your project."
    return Refused(status.HTTP_404_NOT_FOUND, "Not found", detail)


def key_may_only_read() -> Refused:
    detail = "Your key lacks the scope “submit”, which this needs."
    return Refused(status.HTTP_403_FORBIDDEN, "Your key may only read", detail)


def invalid_address() -> Refused:
    detail = "A part of the address, or of the form, is too long or is no number where one is due."
    return Refused(status.HTTP_422_UNPROCESSABLE_CONTENT, "This address is not valid", detail)


def key_is_no_admin() -> Refused:
    detail = "The key that you signed in with lacks the scope “admin”."
    return Refused(status.HTTP_403_FORBIDDEN, "This needs an admin", detail)
