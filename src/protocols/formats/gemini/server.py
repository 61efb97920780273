from ...service import Responder
class GeminiResponder(Responder):
    pass
