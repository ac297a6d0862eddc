"""A web page that runs a model: ``mmdit web``.

``session`` holds what is known about an image, ``store`` the sessions of all
visitors, ``canvas`` and ``exports`` turn one into pixels and files, and
``scenes`` draws examples; none of them knows Gradio. ``layout`` says what is
where, ``handlers`` what each part does, ``page`` connects the two, and
``serving`` starts the server.
"""
