from ...service import Responder


class ResponsesResponder(Responder):
    pass
