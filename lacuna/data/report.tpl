<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Lacuna, NiReports">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>
{% include 'report.css' %}
</style>
</head>
<body>
<nav><strong>{{ title }}</strong>
{% for sub_report in sections %}
{% if sub_report.isnested %}
{% for run_report in sub_report.reportlets %}
{% if run_report.title %}
<a href="#{{ run_report.name }}">{{ run_report.title }}</a>
{% endif %}
{% endfor %}
{% else %}
<a href="#{{ sub_report.name }}">{{ sub_report.name }}</a>
{% endif %}
{% endfor %}
</nav>
<main>
<h1>{{ title }}</h1>
{% for sub_report in sections %}
<section id="{{ sub_report.name }}">
{% if not sub_report.isnested %}
<h2>{{ sub_report.name }}</h2>
{% endif %}
{% for run_report in sub_report.reportlets %}
<div id="{{ run_report.name }}">
{% if run_report.title %}<h2>{{ run_report.title }}</h2>{% endif %}
{% if run_report.subtitle %}<h3>{{ run_report.subtitle }}</h3>{% endif %}
{% for elem in run_report.components %}
{% if elem[1] %}<p class="caption">{{ elem[1] }}</p>{% endif %}
{{ elem[0] }}
{% endfor %}
</div>
{% endfor %}
</section>
{% endfor %}
</main>
<script>
'use strict';
for (const button of document.querySelectorAll('button[data-viewer]')) {
  button.onclick = () => {
    const open = button.parentElement.querySelector('iframe');
    if (open) {
      open.remove();
      button.textContent = 'Open the viewer here';
      return;
    }
    const frame = document.createElement('iframe');
    frame.src = button.dataset.viewer;
    frame.title = 'viewer';
    button.parentElement.append(frame);
    button.textContent = 'Close the viewer';
  };
}
</script>
</body>
</html>
