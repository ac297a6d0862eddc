"""Notices of no use; of warnings, see test_packaging."""

import logging

from mmdit.quiet import without_lines


def test_lines_of_a_log_are_left_out_for_a_while(caplog):
    logger = logging.getLogger('mmdit-test')
    with without_lines(logger, 'FileClient'):
        logger.warning('"FileClient" will be deprecated')
        logger.warning('other')
    logger.warning('FileClient again')
    assert caplog.messages == ['other', 'FileClient again']
