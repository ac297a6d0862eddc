// Boxes by dragging: Gradio's image knows clicks only. What was dragged goes,
// in pixels of the canvas, into a hidden field that the page listens to.
() => {
  const NEAR = 5; // screen pixels; a shorter way is a click
  const frame = document.createElement('div');
  frame.id = 'frame';
  let start = null;
  let isDrag = false;

  const within = (value, low, high) => Math.min(Math.max(value, low), high);

  // Where the pixels of an image are on the screen, without its margins.
  function pixels(image) {
    const around = image.getBoundingClientRect();
    const { naturalWidth, naturalHeight } = image;
    let scale = Math.min(
      around.width / naturalWidth, around.height / naturalHeight);
    if (getComputedStyle(image).objectFit === 'scale-down')
      scale = Math.min(scale, 1);
    const width = naturalWidth * scale, height = naturalHeight * scale;
    const left = around.left + (around.width - width) / 2;
    const top = around.top + (around.height - height) / 2;
    return { scale, left, top, right: left + width, bottom: top + height };
  }

  // Left, top, right and bottom on the screen.
  function dragged(event) {
    const area = pixels(start.image);
    const x = within(event.clientX, area.left, area.right);
    const y = within(event.clientY, area.top, area.bottom);
    return [Math.min(start.x, x), Math.min(start.y, y),
      Math.max(start.x, x), Math.max(start.y, y)];
  }

  function send(event) {
    const area = pixels(start.image);
    const [left, top, right, bottom] = dragged(event);
    const box = [left - area.left, top - area.top,
      right - area.left, bottom - area.top];
    const field = document.querySelector('#dragged textarea, #dragged input');
    field.value = box.map(side => (side / area.scale).toFixed(2)).join(',');
    field.dispatchEvent(new Event('input', { bubbles: true }));
  }

  const isOn = event => event.target.closest?.('#canvas img');
  document.addEventListener('dragstart', event => {
    if (isOn(event)) event.preventDefault();
  });
  document.addEventListener('pointerdown', event => {
    isDrag = false;
    // A finger scrolls the page.
    if (event.button || event.pointerType === 'touch' || !isOn(event)) return;
    start = { image: event.target, x: event.clientX, y: event.clientY };
  });
  document.addEventListener('pointermove', event => {
    if (!start) return;
    isDrag ||= Math.hypot(event.clientX - start.x, event.clientY - start.y)
      > NEAR;
    if (!isDrag) return;
    const [left, top, right, bottom] = dragged(event);
    frame.style.cssText = `left: ${left}px; top: ${top}px; ` +
      `width: ${right - left}px; height: ${bottom - top}px`;
    document.body.append(frame);
  });
  for (const end of ['pointerup', 'pointercancel'])
    document.addEventListener(end, event => {
      frame.remove();
      if (start && isDrag && end === 'pointerup') send(event);
      start = null;
    });
  // The end of a drag is no click.
  document.addEventListener('click', event => {
    if (isDrag && isOn(event)) event.stopPropagation();
    isDrag = false;
  }, true);
}
