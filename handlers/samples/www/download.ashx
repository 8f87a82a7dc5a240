<%@ WebHandler Class="samples::Download, download" %>
